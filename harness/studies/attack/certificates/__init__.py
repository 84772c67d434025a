"""Certificates: sound upper bounds on how many images can be changed within a ball of the maximum norm."""
