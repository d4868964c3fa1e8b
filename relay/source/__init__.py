"""Text that an operator has written, read so that every mistake can be shown in its place."""
