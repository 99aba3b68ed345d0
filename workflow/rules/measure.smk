"""
Measure calibration per batch of predictions, and gather the study's tables.

A language that is added or removed may change which questions all languages share, so
it measures all languages of its task again, from scores that stay.

INPUTS:   predictions = results/predictions/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.parquet
          check       = results/checks/{task}.json
OUTPUTS:  metrics     = results/metrics/...same tail...parquet
          reliability = results/reliability/...same tail...parquet
          tables      = results/{metrics,reliability,summary}.{parquet,csv}
"""


rule measure:
    input:
        predictions="results/predictions/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.parquet",
        check="results/checks/{task}.json",
    output:
        metrics="results/metrics/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.parquet",
        reliability="results/reliability/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.parquet",
    log:
        "logs/measure/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=grid.STAGES["measure"],
    shell:
        "python -m polycal measure"
        " --predictions {input.predictions:q}"
        " --check {input.check:q}"
        " --metrics {output.metrics:q}"
        " --reliability {output.reliability:q} &> {log:q}"


rule aggregate:
    input:
        metrics=get_batch_files("metrics"),
        reliability=get_batch_files("reliability"),
    output:
        expand(
            "results/{table}.{suffix}",
            table=["metrics", "reliability", "summary"],
            suffix=["parquet", "csv"],
        ),
    log:
        "logs/aggregate.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=grid.STAGES["aggregate"],
        # Batch files may hold languages that the study no longer asks for.
        keep=[
            f"{task['name']}={'+'.join(sorted(task['languages']))}"
            for task in config["tasks"]
        ],
    shell:
        "python -m polycal aggregate"
        " --metrics {input.metrics:q}"
        " --reliability {input.reliability:q}"
        " --keep {params.keep:q}"
        " --out results &> {log:q}"
