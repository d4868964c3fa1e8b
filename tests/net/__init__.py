"""relay over real sockets on loopback: a raw client on one side, a scripted upstream on the other."""
