"""What other files say about a place: definitions that it imports, passages like it; never what is not to be shown."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from diffill.lsp_server.context import BUDGET, Context, Problem, as_comments
from diffill.lsp_server.documents import Document, Documents, Edit
from diffill.lsp_server.ignored import IgnoreRules, is_secret_file
from diffill.lsp_server.prompt import build_prompt
from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.tokenizer import Tokenizer

CANARY = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" + "k1L2m3N4o5P6q7R8"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    files = {
        "app/store.py": "class Store:\n    def __init__(self, path):\n        pass\n\n    def load_orders(self, day):\n"
        f'        return "{CANARY}"\n\n\ndef open_store(path):\n    return Store(path)\n',
        "app/private.py": "def open_private(path):\n    return 1\n",
        ".gitignore": "app/private.py\nbuild/\n*.log\n",
        "app/.diffillignore": "customers*\n",
        "app/customers.py": "def open_customers(path):\n    return 1\n",
        ".env": f"TOKEN={CANARY}\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def opened(documents: Documents, path: Path, text: str) -> Document:
    document = Document(uri=path.as_uri(), language="python", version=1, text=text)
    documents.open(document)
    return document


def gathered(workspace: Path, text: str, *others: tuple[str, str]) -> list[tuple[str, str]]:
    documents = Documents()
    for name, other in others:
        opened(documents, workspace / name, other)
    document = opened(documents, workspace / "app" / "main.py", text)
    snippets = Context(documents, (workspace.as_uri(),)).gather(document, len(text))
    return [(snippet.path, snippet.text) for snippet in snippets]


def test_definitions_of_what_is_imported_and_used(workspace: Path) -> None:
    text = "from app.store import Store, open_store, unused\n\nstore = open_store(path)\nStore."
    assert gathered(workspace, text) == [
        ("app/store.py", "def open_store(path):\n    return Store(path)\n"),
        ("app/store.py", "class Store:\n    def __init__(self, path):\n    def load_orders(self, day):"),
    ]
    assert gathered(workspace, "from .store import open_store\nopen_store(") == [
        ("app/store.py", "def open_store(path):\n    return Store(path)\n")
    ]


def test_passages_of_open_files_that_share_rare_words(workspace: Path) -> None:
    like = ("app/other.py", "def total_of_orders(orders):\n    return sum(order.price for order in orders)\n")
    unlike = ("app/unlike.py", "import os\n\nprint(os.environ)\n")
    found = gathered(workspace, "def mean_of_orders(orders):\n    return total_of_orders(", like, unlike)
    assert [path for path, _ in found] == ["app/other.py"]


def test_ignored_files_and_secrets_are_in_no_snippet(workspace: Path) -> None:
    others = [
        (".env", f"TOKEN = '{CANARY}' # orders\n"),
        ("app/private.py", "orders = open_private(path)\n"),
        ("app/customers.py", "orders = open_customers(path)\n"),
        ("app/shown.py", f"orders = load('{CANARY}')\n"),
    ]
    text = "from app.private import open_private\nfrom app.customers import open_customers\n"
    found = gathered(workspace, text + "orders = open_private(open_customers(", *others)
    assert [path for path, _ in found] == ["app/shown.py"]
    assert CANARY not in str(found)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("app/store.py", True),
        ("app/private.py", False),
        ("app/customers_old.py", False),
        ("build/lib/a.py", False),
        ("a.log", False),
        (".env", False),
        ("config/.env.production", False),
        (".env.example", True),
        ("deploy/server.pem", False),
        ("../outside.py", False),
    ],
)
def test_which_files_may_be_shown(workspace: Path, name: str, shown: bool) -> None:
    IgnoreRules.forget()
    assert IgnoreRules(workspace).may_show(workspace / name) == shown


def test_a_link_does_not_lead_out_of_the_workspace(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "a.py"
    outside.write_text("x = 1\n", "utf-8")
    (workspace / "link.py").symlink_to(outside)
    (workspace / "harmless.py").symlink_to(workspace / ".env")
    assert not IgnoreRules(workspace).may_show(workspace / "link.py")
    assert not IgnoreRules(workspace).may_show(workspace / "harmless.py")


def test_files_that_completions_stay_away_from(workspace: Path) -> None:
    documents = Documents()
    context = Context(documents, (workspace.as_uri(),))
    kept_out = {
        name: context.keeps_out(opened(documents, workspace / name, ""))
        for name in (".env", "app/customers.py", "app/private.py", "app/store.py")
    }
    assert kept_out == {".env": True, "app/customers.py": True, "app/private.py": False, "app/store.py": False}
    assert not context.keeps_out(Document(uri="untitled:Untitled-1", language="python", version=1, text=""))


@pytest.mark.parametrize("name", ["id_ed25519", ".npmrc", "secrets.yaml", "terraform.tfstate", ".aws/credentials"])
def test_names_of_secret_files(name: str) -> None:
    assert is_secret_file(Path("/home/me") / name)


def test_context_stands_before_the_prefix_and_does_not_change_with_it(workspace: Path) -> None:
    tokenizer = Tokenizer.load(DEFAULT_CHECKPOINT)
    documents = Documents()
    text = "from app.store import open_store\nx = open_store("
    document = opened(documents, workspace / "app" / "main.py", text)
    context = Context(documents, (workspace.as_uri(),))
    related = context.text_for(document, len(text))
    assert related == as_comments(context.gather(document, len(text)), "python")
    assert related.startswith("# Path: app/store.py\n# def open_store(path):\n")
    first = build_prompt(text, "", tokenizer, related).ids
    further = build_prompt(text + "path", "", tokenizer, context.text_for(document, len(text))).ids
    common = next(index for index, (one, other) in enumerate(zip(first, further, strict=False)) if one != other)
    assert common >= len(first) - 2


def test_definitions_that_a_script_imports(workspace: Path) -> None:
    (workspace / "app" / "cart.ts").write_text(
        "export class Cart {\n  private items: Item[] = [];\n  total(tax: number): number {\n    return 1;\n  }\n}\n"
        "export const open = (path: string) => {\n  return new Cart();\n};\n",
        "utf-8",
    )
    documents = Documents()
    text = "import { Cart,\n  open } from './cart.js';\nconst cart: Cart = open("
    document = Document(uri=(workspace / "app" / "main.ts").as_uri(), language="typescript", version=1, text=text)
    documents.open(document)
    snippets = Context(documents, (workspace.as_uri(),)).gather(document, len(text))
    assert [(snippet.path, snippet.text) for snippet in snippets] == [
        ("app/cart.ts", "export const open = (path: string) => {\n  return new Cart();"),
        ("app/cart.ts", "export class Cart {\n  private items: Item[] = [];\n  total(tax: number): number {"),
    ]


def test_what_was_changed_and_what_is_wrong_stand_last(workspace: Path) -> None:
    documents = Documents()
    context = Context(documents, (workspace.as_uri(),))
    other = opened(documents, workspace / "app" / "other.py", "def area(w):\n    return w * w\n\n\nx = 1\n")
    secret = opened(documents, workspace / "app" / "customers.py", "secret = 1\nother = 2\n")
    for document, start, end in ((secret, 0, 6), (other, 9, 10), (other, 35, 36), (secret, 11, 16), (other, 0, 0)):
        documents.edit(document, Edit(start=start, end=end, text="wide"))
    text = "from app.store import open_store\nopen_store("
    document = opened(documents, workspace / "app" / "main.py", text)
    context.note_problems(document, (0, 1), [Problem(line=1, message=f"Missing argument: {CANARY}")])
    shown = as_comments(context.gather(document, len(text)), "python")
    assert shown == (
        "# Path: app/store.py\n# def open_store(path):\n#     return Store(path)\n"
        "# Path: app/other.py, changed\n# - def area(w):\n# + def area(wide):\n"
        "# Path: app/other.py, changed\n# - x = 1\n# + wide = 1\n"
        "# Path: app/main.py, problems\n# Missing argument: <secret>\n"
    )
    context.note_problems(document, (0, 5), [])
    assert "problems" not in as_comments(context.gather(document, len(text)), "python")


def test_what_does_not_fit_the_budget_is_left_out(workspace: Path) -> None:
    long = ("app/long.py", "orders = load(orders)\n" * 23 + "x" * BUDGET)
    short = ("app/short.py", "orders = load(path)\n")
    found = gathered(workspace, "orders = load(", long, short)
    assert [path for path, _ in found] == ["app/short.py"]


def test_a_server_takes_passages_as_soon_as_they_are_indexed(workspace: Path) -> None:
    async def gather() -> list[int]:
        documents = Documents()
        opened(documents, workspace / "app" / "other.py", "orders = load(path)\n")
        document = opened(documents, workspace / "app" / "main.py", "orders = load(")
        context = Context(documents, (workspace.as_uri(),))
        first = context.gather(document, 14)
        await context.passages.renewed()
        return [len(first), len(context.gather(document, 14))]

    assert asyncio.run(gather()) == [0, 1]
