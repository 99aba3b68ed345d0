"""
Draw the figures and write the page that people read.
"""


rule draw:
    input:
        metrics=layout.table("metrics"),
        reliability=layout.table("reliability"),
        contrasts=layout.table("contrasts"),
        decompositions=layout.table("decompositions"),
        doses=layout.table("doses"),
        fronts=layout.table("fronts"),
    output:
        *[
            report(
                path,
                caption="../report/figure.rst",
                category="{task}",
                subcategory="{scoring}, {normaliser}",
                labels={"figure": figure},
            )
            for figure, path in zip(figures.FIGURES, draw_outputs("svg"))
        ],
        *draw_outputs("pdf"),
        *draw_outputs("tex"),
    log:
        "logs/draw/{task}/{scoring}-{normaliser}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=stages.STAGES["draw"],
    shell:
        "python -m polycal draw"
        " --tables results"
        " --task {wildcards.task:q}"
        " --scoring {wildcards.scoring}"
        " --normaliser {wildcards.normaliser}"
        " --out {output:q} &> {log:q}"


rule tabulate:
    input:
        metrics=layout.table("metrics"),
        summary=layout.table("summary"),
        level_means=layout.table("level_means"),
        contrasts=layout.table("contrasts"),
        claims=layout.table("claims"),
    output:
        expand(
            layout.PAPER_TABLE,
            table=["levels", "differences", "languages", "claims"],
            suffix=["csv", "md", "tex"],
            allow_missing=True,
        ),
    log:
        "logs/tabulate/{task}/{scoring}-{normaliser}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=stages.STAGES["tabulate"],
    shell:
        "python -m polycal tabulate"
        " --tables results"
        " --task {wildcards.task:q}"
        " --scoring {wildcards.scoring}"
        " --normaliser {wildcards.normaliser}"
        " --out {output:q} &> {log:q}"


rule report:
    input:
        summary=layout.table("summary"),
        metrics=layout.table("metrics"),
        reliability=layout.table("reliability"),
        contrasts=layout.table("contrasts"),
        decompositions=layout.table("decompositions"),
        doses=layout.table("doses"),
        fronts=layout.table("fronts"),
        level_means=layout.table("level_means"),
        new_languages=layout.table("new_languages"),
        slopes=layout.table("slopes"),
        shares=layout.table("shares"),
        cultures=layout.table("cultures"),
        claims=layout.table("claims"),
        runs=layout.table("runs"),
        shifts=list_compared(layout.SHIFTS),
        taught=list_compared(layout.TAUGHT),
        checks=[layout.CHECK.format(task=task["name"]) for task in config["tasks"]],
        figures=get_figures(),
        papers=get_tables(),
    output:
        report(
            layout.PAGE,
            caption="../report/page.rst",
            category="The page",
            labels={"figure": "all of the study in one page"},
        ),
    log:
        "logs/report.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=stages.STAGES["report"],
        study=config["study"],
        description=config["description"],
        figures=lambda wildcards: layout.FIGURES,
        papers=lambda wildcards: layout.PAPER_TABLES,
        scoring=" ".join(config["scoring"]),
    shell:
        "python -m polycal report"
        " --study {params.study:q}"
        " --description={params.description:q}"
        " --scoring {params.scoring}"
        " --tables results"
        " --shifts {input.shifts:q}"
        " --taught {input.taught:q}"
        " --checks {input.checks:q}"
        " --figures {params.figures:q}"
        " --papers {params.papers:q}"
        " --out {output:q} &> {log:q}"
