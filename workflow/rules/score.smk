"""
Score every option of every question: one job holds several languages of one run.

INPUTS:   checkpoint  = resources/models/{model}/ or results/runs/.../seed-{seed}/
          questions   = resources/tasks/{task}/{language}.parquet for each of {languages}
OUTPUTS:  predictions = results/predictions/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.parquet
          store       = results/store/ (finished languages, so that nothing is scored twice)
          timing      = results/timings/score/...same tail...tsv (what it scored, and how fast)
"""


rule score:
    input:
        checkpoint=get_checkpoint,
        base="resources/models/{model}",
        questions=get_questions,
    output:
        "results/predictions/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.parquet",
    log:
        "logs/score/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.log",
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=get_gpus,
        mem_mb=get_memory,
        runtime=get_runtime("score"),
    params:
        stage=grid.STAGES["score"],
        scoring=" ".join(sorted(config["scoring"])),  # their order is the report's
        shots=lambda wildcards: get_task(wildcards)["shots"],
        # No benchmark file: it would count waiting, and what lies in the store.
        timing="results/timings/score/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.tsv",
    shell:
        "python -m polycal with_gpus --count {resources.gpu} --"
        " python -m polycal score"
        " --checkpoint {input.checkpoint:q}"
        " --base {input.base:q}"
        " --questions {input.questions:q}"
        " --scoring {params.scoring}"
        " --shots {params.shots}"
        " --model {wildcards.model:q}"
        " --sft {wildcards.sft:q}"
        " --smoothing {wildcards.smoothing}"
        " --seed {wildcards.seed}"
        " --stage {params.stage}"
        " --store results/store"
        " --timing {params.timing:q}"
        " --out {output:q} &> {log:q}"
