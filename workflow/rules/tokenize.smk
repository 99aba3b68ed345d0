"""
Tokenise every SFT set for every model, once for all candidates.

INPUTS:   base          = resources/models/{model}/
          conversations = resources/sft/{sft}.parquet
OUTPUTS:  examples      = resources/examples/{model}/{sft}/
"""


rule tokenize:
    input:
        base="resources/models/{model}",
        conversations="resources/sft/{sft}.parquet",
    output:
        directory("resources/examples/{model}/{sft}"),
    log:
        "logs/tokenize/{model}/{sft}.log",
    benchmark:
        "results/timings/tokenize/{model}/{sft}.tsv"
    # Every training waits for it. One thread: rendering, which has no second one, takes
    # most of the time.
    priority: 105
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    params:
        stage=grid.STAGES["tokenize"],
        rendering=get_settings(Rendering),
    shell:
        "RAYON_NUM_THREADS={threads} python -m polycal tokenize {params.rendering}"
        " --base {input.base:q}"
        " --conversations {input.conversations:q}"
        " --model {wildcards.model:q}"
        " --sft {wildcards.sft:q}"
        " --out {output:q} &> {log:q}"
