"""Fitting and judging of captioners; imports captioner, never the other way round."""
