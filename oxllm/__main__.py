"""`python -m oxllm` is `oxllm`."""

from oxllm.cli import main

if __name__ == "__main__":
    main()
