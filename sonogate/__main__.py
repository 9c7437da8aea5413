"""``python -m sonogate`` is the ``sonogate`` command; `up` starts its services this way."""

from sonogate.cli import main

if __name__ == "__main__":
    main()
