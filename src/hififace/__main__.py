"""`python -m hififace` is `hififace`."""

from hififace.cli.main import main

if __name__ == "__main__":
    main()
