"""``python -m sonogate`` runs the ``sonogate`` command. `sonogate up` starts services this way."""

from sonogate.cli import main

if __name__ == "__main__":
    main()
