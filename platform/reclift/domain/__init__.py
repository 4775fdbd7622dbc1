"""Pure rules, without IO: experiments, targeting, bucketing, the plan, events and metrics."""
