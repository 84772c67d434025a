"""People judge the images of a cell: a local page, the votes, and what they agree on."""
