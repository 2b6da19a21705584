"""BARET: edit a real picture with only a text that describes the result.

Qiao et al., "BARET: Balanced Attention based Real image Editing driven by Target-text Inversion", 2023.

1. Target-text inversion (TTIS): the picture is inverted to noise with DDIM under the target text, whose embedding is
   then tuned at every step, e_t, until guidance leads back to the picture.
2. Progressive transition (PTS): ẽ_t = λ·e_t + (1 − λ)·e_tgt fades from the picture to the target text.
3. Balanced attention (BAM): while the target text is sampled, self-attention takes its maps from the reconstruction
   (e_t) and cross-attention from the transition (ẽ_t), each for a share of the steps.

Here, a file for each step: target_text.py, transition.py, balanced_attention.py. Shared with other methods: DDIM
inversion (inversion/ddim.py), the optimisation (inversion/tuning.py), attention with the queries and keys of other rows
(attention/gather.py), the loop (sampling/loop.py). Workflows: baret_edit.json, and baret_rigid.json with λ = 1.
"""
