"""From stored scores to metrics, intervals, differences and claims."""
