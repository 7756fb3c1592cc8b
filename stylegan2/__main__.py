"""`python -m stylegan2 VERB`: see `stylegan2.cli`."""

from stylegan2.cli import main

if __name__ == "__main__":  # worker processes import this file too, and must not start over
    main()
