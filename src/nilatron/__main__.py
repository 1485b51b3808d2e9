"""`python -m nilatron` is the command `nilatron`."""

from nilatron.pipelines.cli import main

if __name__ == "__main__":
    main()
