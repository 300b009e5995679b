# Swaps faces in images and videos, serves the page and the service, on the CPU; no PyTorch.
# How to use it: docs/how-to/docker.md.
FROM python:3.11-slim

# The versions that `make test` passes with. Everything below needs of the system only what Python itself does.
COPY pyproject.toml constraints.txt README.md LICENSE /build/
COPY src /build/src
RUN python -m pip install --no-cache-dir --constraint /build/constraints.txt '/build[cpu,app,server,heic]' \
    && rm -rf /build

# Nobody's photographs need an administrator. Open to all, so that `--user` can be anybody; what is kept there (the key
# that signs results) is as lasting as the volume that is put there.
RUN useradd --create-home hififace && install -d -m 1777 /var/lib/hififace
ENV HIFIFACE_HOME=/var/lib/hififace \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1
USER hififace
WORKDIR /work

EXPOSE 7860
EXPOSE 8000
ENTRYPOINT ["hififace"]
CMD ["--help"]
