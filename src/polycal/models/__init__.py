"""Shared by tuning and scoring: loading, tokens, LM head, packed attention, GPUs."""

ADAPTER = "adapter_config.json"  # the file by which a directory is a LoRA adapter
ADAPTER_WEIGHTS = "adapter_model.safetensors"
