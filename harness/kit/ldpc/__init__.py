"""LDPC codes: encoder, channels, decoders in torch and compiled, and other people's decoders beside them."""
