"""`python -m hmm_plating`."""

from hmm_plating.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
