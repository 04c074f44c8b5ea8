"""Training on a rented machine without a network: files carried in pieces, steps that run on without a terminal."""
