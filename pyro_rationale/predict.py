"""Run `python -m pyro_rationale.predict`; the command itself is :mod:`pyro_rationale.cli.predict`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("predict")
