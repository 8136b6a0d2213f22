"""oxllm: an LLM gateway that keeps one OpenAI-compatible address working when a provider does not."""

__version__ = "0.1.0"
