"""Values of students that several tests compare."""

import numpy as np
import torch

from vmaf_train.students.export import to_onnx


def weights_of(student):
    return [weights.detach().numpy().tolist() for weights in student.net.parameters()]


def bytes_of(student):
    return to_onnx(student, {})


def bytes_by_job(students):
    return {job: bytes_of(student) for job, student in students.items()}


def scores_of(student, x_NF):
    with torch.inference_mode():
        return student(torch.from_numpy(x_NF)).numpy()


def random_features(n=1000, seed=1):
    """Draw rows of the canonical features over their box: up to 1.05, motion2 up to 40."""
    draw = np.random.default_rng(seed)
    return draw.uniform(0, 1, (n, 6)) * (1.05, 1.05, 1.05, 1.05, 1.05, 40)


def random_batches(shape, n, seed=0):
    """Draw features, targets and root weights of n batches of one job."""
    draw = np.random.default_rng(seed)
    for _ in range(n):
        z = draw.normal(size=shape)
        t = draw.normal(size=shape[:2])
        root_weight = draw.uniform(0.5, 2, shape[:2])
        yield torch.from_numpy(z), torch.from_numpy(t), torch.from_numpy(root_weight)


def assert_weights_close(net, weights, atol):
    given = dict(net.named_parameters())
    for name, expected in weights.items():
        torch.testing.assert_close(given[name].detach(), expected, rtol=0, atol=atol)
