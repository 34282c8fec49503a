"""The target: called once for every row, with the columns that it names."""


def analyse(sample, dose, reads, log):
    """A column of numbers arrives as numbers, any other one as text, as it is written."""
    log.info(f"{sample}: {reads} reads")
    log.json("summary", {"sample": sample, "reads": reads})  # artifacts/summary.json
    return {"reads_per_dose": reads / (1.0 + dose)}
