"""The batch commands: many photographs at once."""
