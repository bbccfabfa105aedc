"""One image in, five names out, over the network: laid out, and empty so far."""
