"""Tables, named queries, the event log and its sinks, and model artifacts."""
