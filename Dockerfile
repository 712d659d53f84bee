# lmdeploy on processors: the runtime with ONNX Runtime and OpenVINO, no torch.
#   docker build --tag lmdeploy .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/data" lmdeploy predict clip.mp4 -o points.csv
# Other extras: --build-arg EXTRAS=cpu,openvino,video,parquet (an image for NVIDIA GPUs: Dockerfile.gpu)

FROM python:3.11-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY lmdeploy lmdeploy
COPY training training
COPY export export
ARG EXTRAS=cpu,openvino,video
RUN python -m venv /opt/lmdeploy \
    && /opt/lmdeploy/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --constraint constraints.txt ".[${EXTRAS}]" \
    && /opt/lmdeploy/bin/python -m pip uninstall --yes setuptools pip

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --create-home lmdeploy
COPY --from=build /opt/lmdeploy /opt/lmdeploy
# HOME: what is cached must have a place under any --user
ENV PATH=/opt/lmdeploy/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1
USER 10001
WORKDIR /data
ENTRYPOINT ["lmdeploy"]
CMD ["--help"]
