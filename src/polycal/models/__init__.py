"""What tuning and scoring share: loading, tokens, LM head, packed attention, GPUs."""
