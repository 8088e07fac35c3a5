"""What figures say of themselves."""


def titles(figure):
    """The title of each panel."""
    return [axis.get_title(loc="left") for axis in figure.axes]
