"""Train latent-variable models of images, and bound their log-likelihood."""

from harness.studies.likelihood.task import Problem as Problem
