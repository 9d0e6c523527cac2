"""Recipes, runs, stages and objectives: how a captioner is trained, in one process or many."""
