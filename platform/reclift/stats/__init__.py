"""Statistics: aggregates in, frozen results out. No rows, no IO, no clock."""
