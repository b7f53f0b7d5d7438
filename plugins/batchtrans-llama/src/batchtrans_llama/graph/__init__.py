"""The decode engine for GPUs: requests in slots over a static cache, moved on together by recorded CUDA graphs.

``kernels`` and ``model`` are one step of the model, ``slots`` is what stays on the device between steps, ``engine`` is
the host that says who sits where. Imported when the engine is made: it needs torch.
"""
