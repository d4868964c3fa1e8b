"""Relay between the programs that people really run: uvicorn, nginx, HAProxy, the SDKs, curl."""
