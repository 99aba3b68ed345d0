"""
Score every option of every question: one job holds several languages of one run.
"""


rule score:
    input:
        checkpoint=get_checkpoint,
        base=layout.MODEL,
        questions=get_questions,
        reference=get_reference,
    output:
        layout.PREDICTIONS,
    log:
        "logs/score/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.log",
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=get_gpus,
        mem_mb=get_memory,
        runtime=get_runtime("score"),
    params:
        stage=stages.STAGES["score"],
        scoring=" ".join(sorted(config["scoring"])),  # their order is the report's
        asked=get_asked,
        dtype=config["scoring_dtype"],
        # No benchmark file: it would count waiting, and what lies in the store.
        timing=layout.timing("score", layout.SCORED_TAIL),
    shell:
        "python -m polycal with_gpus --count {resources.gpu} --"
        " python -m polycal score"
        " --checkpoint {input.checkpoint:q}"
        " --base {input.base:q}"
        " --questions {input.questions:q}"
        " --scoring {params.scoring}"
        " {params.asked}"
        " --dtype {params.dtype}"
        " --model {wildcards.model:q}"
        " --sft {wildcards.sft:q}"
        " --smoothing {wildcards.smoothing}"
        " --seed {wildcards.seed}"
        " --stage {params.stage}"
        " --store results/store"
        " --timing {params.timing:q}"
        " --out {output:q} &> {log:q}"
