"""What frameworks are fed with: the batches of a loader, in its order, as each of them wants them.

No module here decides what is in a batch. Each hands on batch i of epoch e under the number that
its framework gives it, or refuses: an order that a framework changes is not that of the other arms.
"""
