"""Run `python -m pyro_rationale.curve`; the command itself is :mod:`pyro_rationale.cli.rate_curve`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("curve")
