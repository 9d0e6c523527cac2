# The page, for a Docker Space and for anyone: docker build -t captioner . && docker run -p 8501:8501 captioner
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 user
USER user
WORKDIR /home/user/captioner
ENV PATH=/home/user/.local/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

COPY --chown=user requirements.txt .
# The CPU build of torch and its torchvision first: what PyPI offers brings several gigabytes of CUDA.
RUN pip install --no-cache-dir --user torch==2.13.0 torchvision==0.28.0 --index-url https://download.pytorch.org/whl/cpu \
    && pip install --no-cache-dir --user -r requirements.txt

COPY --chown=user app.py ./
COPY --chown=user .streamlit .streamlit
COPY --chown=user captioner captioner

EXPOSE 8501
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=5)"]
CMD ["streamlit", "run", "app.py", "--server.address=0.0.0.0", "--server.port=8501", "--server.headless=true"]
