"""The losses of a training: what the trainer recorded, and a picture of them."""


def loss_history(storage):
    """Return {name: values of all iterations} of the losses that the trainer recorded."""
    names = [name for name in storage.histories() if "loss" in name]
    return {name: [value for value, _ in storage.history(name).values()] for name in names}


def draw_losses(path, losses):
    """Save a picture of the loss curves."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name in sorted(losses, key=lambda key: -losses[key][0]):
        axes.plot(losses[name], label=name, linewidth=2 if name == "total_loss" else 1)
    axes.set_xlabel("iteration")
    axes.set_ylabel("loss")
    axes.set_ylim(0, 1.05 * max(losses["total_loss"]))
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
