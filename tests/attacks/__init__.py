"""Attacks and rubbish as a table, played over raw sockets against any HTTP proxy.

``python -m tests.attacks.run --proxy relay`` plays all of them; docs/attacks.md tells what came of it.
"""
