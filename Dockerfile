# docker build --target cpu|cuda (docs/CONTAINERS.md)
FROM python:3.11-slim AS source
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/gtr
COPY . .
ENV PATH=/opt/gtr/.venv/bin:$PATH HOME=/data
ENTRYPOINT ["gtr"]

FROM source AS cpu
ARG PIP_ARGS
RUN make PIP_ARGS="--no-cache-dir $PIP_ARGS" EXTRAS=chat,hub,show,vllm .venv/installed-chat,hub,show,vllm
ENV OMP_NUM_THREADS=1
WORKDIR /data

FROM source AS cuda
ARG PIP_ARGS
RUN make PIP_ARGS="--no-cache-dir $PIP_ARGS" EXTRAS=chat,hub,show,vllm .venv/installed-chat,hub,show,vllm
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /data
