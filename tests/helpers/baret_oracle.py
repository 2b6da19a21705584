"""The slow, obvious reference of every edit: one row at a time, every attention map written out."""

from contextlib import contextmanager

import torch


def step_back(plan, position, z, output):
    """One deterministic DDIM step, written out (Song et al. 2021, eq. 12 with eta 0)."""
    a = plan.alpha_bars[position]
    ap = plan.alpha_bars[position + 1] if position + 1 < len(plan.alpha_bars) else plan.final_alpha_bar
    x0 = (z - (1 - a) ** 0.5 * output) / a**0.5
    return ap**0.5 * x0 + (1 - ap) ** 0.5 * output


class Written:
    """An attention processor with explicit maps: it records what it computed with and can be given other maps."""

    def __init__(self, name, notes, given):
        self.name, self.notes, self.given = name, notes, given

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_):
        kind = "self" if encoder_hidden_states is None else "cross"
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states

        def heads(value):
            return value.reshape(value.shape[0], value.shape[1], attn.heads, -1).permute(0, 2, 1, 3)

        q, k, v = heads(attn.to_q(hidden_states)), heads(attn.to_k(context)), heads(attn.to_v(context))
        given = self.given.get((kind, self.name), {})
        k, v = given.get("key", k), given.get("value", v)
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / q.shape[-1] ** 0.5
        maps = given["map"](scores.softmax(-1)) if "map" in given else scores.softmax(-1)
        self.notes[kind, self.name] = {"map": maps, "key": k, "value": v}
        out = torch.einsum("bhqk,bhkd->bhqd", maps, v).permute(0, 2, 1, 3).flatten(2)
        return attn.to_out[1](attn.to_out[0](out))


class Reference:
    """A UNet evaluated one row at a time; `notes` holds what its attentions computed with last."""

    def __init__(self, unet):
        self.unet, self.notes, self.given = unet, {}, {}

    @contextmanager
    def installed(self):
        before = dict(self.unet.attn_processors)
        self.unet.set_attn_processor({name: Written(name, self.notes, self.given) for name in before})
        try:
            yield self
        finally:
            self.unet.set_attn_processor(before)

    def __call__(self, z, t, e, given=None):
        self.given.clear()
        self.given.update(given or {})
        self.notes.clear()
        with torch.no_grad():
            return self.unet(z, t, encoder_hidden_states=e).sample

    def maps(self, *kinds):
        """The maps of the last evaluation, to be given to another."""
        return {key: {"map": lambda own, kept=note["map"]: kept} for key, note in self.notes.items() if key[0] in kinds}


def baret(reference, plan, start, uncond, target, tuned, blended, scale, self_until, cross_until):
    """Three chains from z*_T, step by step: reconstruction, transition, editing (methods.md, section 4)."""
    z_rec = z_tr = z_ed = start
    steps = len(plan.timesteps)
    for i, t in enumerate(plan.timesteps):
        u = reference(z_rec, t, uncond)
        c = reference(z_rec, t, tuned[i])
        lent_self = reference.maps("self")
        z_rec = step_back(plan, i, z_rec, u + scale * (c - u))
        u = reference(z_tr, t, uncond)
        c = reference(z_tr, t, blended[i])
        lent_cross = reference.maps("cross")
        z_tr = step_back(plan, i, z_tr, u + scale * (c - u))
        given = (lent_self if i < int(self_until * steps) else {}) | (
            lent_cross if i < int(cross_until * steps) else {}
        )
        u = reference(z_ed, t, uncond)
        c = reference(z_ed, t, target, given)
        z_ed = step_back(plan, i, z_ed, u + scale * (c - u))
    return z_rec, z_tr, z_ed


def masactrl(reference, plan, start, uncond, source, target, scale, start_step, start_layer, order):
    """The source chain's keys and values serve the edit's self-attentions, from a step and a layer on."""
    z_src = z_ed = start
    chosen = order[start_layer:]
    for i, t in enumerate(plan.timesteps):
        lent = []
        halves = []
        for e in (uncond, source):
            halves.append(reference(z_src, t, e))
            lent.append(
                {
                    key: {"key": note["key"], "value": note["value"]}
                    for key, note in reference.notes.items()
                    if key[0] == "self" and key[1] in chosen
                }
                if i >= start_step
                else {}
            )
        z_src = step_back(plan, i, z_src, halves[0] + scale * (halves[1] - halves[0]))
        u, c = reference(z_ed, t, uncond, lent[0]), reference(z_ed, t, target, lent[1])
        z_ed = step_back(plan, i, z_ed, u + scale * (c - u))
    return z_src, z_ed


def prompt_to_prompt(reference, plan, start, unconds, source, target, scale, self_until, cross_until, columns, share):
    """Both texts from one start; the target's maps are the source's while the windows are open."""
    z_src = z_ed = start
    steps = len(plan.timesteps)
    for i, t in enumerate(plan.timesteps):
        u = reference(z_src, t, unconds[i])
        c = reference(z_src, t, source)
        notes = dict(reference.notes)
        z_src = step_back(plan, i, z_src, u + scale * (c - u))
        given = {}
        for key, note in notes.items():
            if key[0] == "self" and i < int(self_until * steps) and note["map"].shape[2] <= 32**2:
                given[key] = {"map": lambda own, kept=note["map"]: kept}
            if key[0] == "cross" and i < int(cross_until * steps):
                given[key] = {
                    "map": lambda own, kept=note["map"]: torch.stack(
                        [kept[..., columns[j]] if share[j] else own[..., j] for j in range(len(columns))], -1
                    )
                }
        u, c = reference(z_ed, t, unconds[i]), reference(z_ed, t, target, given)
        z_ed = step_back(plan, i, z_ed, u + scale * (c - u))
    return z_src, z_ed
