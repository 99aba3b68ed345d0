"""
Draw the figures and write the page that people read.

INPUTS:   results/{metrics,reliability,summary,contrasts,claims,runs}.parquet
          results/{decompositions,doses,fronts}.parquet
          results/checks/{task}.json
          results/shifts/{model}/{sft}/{task}.parquet
OUTPUTS:  tables  = results/report/tables/{task}/{scoring}-{normaliser}/{table}.{csv,md,tex}
          figures = results/report/figures/{task}/{scoring}-{normaliser}/{figure}.{svg,pdf}
          page    = results/report/index.html
"""


rule draw:
    input:
        metrics="results/metrics.parquet",
        reliability="results/reliability.parquet",
        contrasts="results/contrasts.parquet",
        decompositions="results/decompositions.parquet",
        doses="results/doses.parquet",
        fronts="results/fronts.parquet",
    output:
        *[
            report(
                f"results/report/figures/{{task}}/{{scoring}}-{{normaliser}}/{figure}.svg",
                caption="../report/figure.rst",
                category="{task}",
                subcategory="{scoring}, {normaliser}",
                labels={"figure": figure},
            )
            for figure in grid.FIGURES
        ],
        *[
            f"results/report/figures/{{task}}/{{scoring}}-{{normaliser}}/{figure}.pdf"
            for figure in grid.FIGURES
        ],
    log:
        "logs/draw/{task}/{scoring}-{normaliser}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=grid.STAGES["draw"],
    shell:
        "python -m polycal draw"
        " --metrics {input.metrics:q}"
        " --reliability {input.reliability:q}"
        " --contrasts {input.contrasts:q}"
        " --decompositions {input.decompositions:q}"
        " --doses {input.doses:q}"
        " --fronts {input.fronts:q}"
        " --task {wildcards.task:q}"
        " --scoring {wildcards.scoring}"
        " --normaliser {wildcards.normaliser}"
        " --out {output:q} &> {log:q}"


rule tabulate:
    input:
        metrics="results/metrics.parquet",
        summary="results/summary.parquet",
        contrasts="results/contrasts.parquet",
        claims="results/claims.parquet",
    output:
        expand(
            "results/report/tables/{{task}}/{{scoring}}-{{normaliser}}/{table}.{suffix}",
            table=["levels", "differences", "languages", "claims"],
            suffix=["csv", "md", "tex"],
        ),
    log:
        "logs/tabulate/{task}/{scoring}-{normaliser}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=grid.STAGES["tabulate"],
    shell:
        "python -m polycal tabulate"
        " --metrics {input.metrics:q}"
        " --summary {input.summary:q}"
        " --contrasts {input.contrasts:q}"
        " --claims {input.claims:q}"
        " --task {wildcards.task:q}"
        " --scoring {wildcards.scoring}"
        " --normaliser {wildcards.normaliser}"
        " --out {output:q} &> {log:q}"


rule report:
    input:
        summary="results/summary.parquet",
        metrics="results/metrics.parquet",
        reliability="results/reliability.parquet",
        contrasts="results/contrasts.parquet",
        decompositions="results/decompositions.parquet",
        doses="results/doses.parquet",
        fronts="results/fronts.parquet",
        claims="results/claims.parquet",
        runs="results/runs.parquet",
        shifts=get_shifts(),
        checks=expand("results/checks/{task[name]}.json", task=config["tasks"]),
        figures=get_figures(),
    output:
        report(
            "results/report/index.html",
            caption="../report/page.rst",
            category="The page",
            labels={"figure": "all of the study in one page"},
        ),
    log:
        "logs/report.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=grid.STAGES["report"],
        study=config["study"],
        scoring=" ".join(config["scoring"]),
    shell:
        "python -m polycal report"
        " --study {params.study:q}"
        " --scoring {params.scoring}"
        " --summary {input.summary:q}"
        " --metrics {input.metrics:q}"
        " --reliability {input.reliability:q}"
        " --contrasts {input.contrasts:q}"
        " --decompositions {input.decompositions:q}"
        " --doses {input.doses:q}"
        " --fronts {input.fronts:q}"
        " --claims {input.claims:q}"
        " --runs {input.runs:q}"
        " --shifts {input.shifts:q}"
        " --checks {input.checks:q}"
        " --figures results/report/figures"
        " --out {output:q} &> {log:q}"
