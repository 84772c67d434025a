"""Certificates: sound upper bounds on how many images can be changed within a ball of the maximum norm.

They are proofs, and computed on the CPU, whatever the run's device: in double precision where it decides, in
NumPy and SciPy where a factor proves a matrix positive, image by image where a search branches; and none may
hang on the order in which a device adds up.
"""
