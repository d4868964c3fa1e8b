"""Rubbish at high speed: what no parser may be broken by, drawn from a seed so that it can be drawn again."""
