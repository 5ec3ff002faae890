"""Command lines: impossible names, numbers and options."""

from pathlib import Path

from bench.core.files import write_bytes
from bench.images import encode_png
from tests.bad_input.case import Arrange, Refused, as_it_is
from tests.small import picture


def typed(command: str, *says: str, make: Arrange = as_it_is) -> Refused:
    return Refused(command, says, make, 2)


def failed(command: str, *says: str, make: Arrange = as_it_is) -> Refused:
    return Refused(command, says, make, 1)


def another_size(home: Path) -> None:
    write_bytes(home / "odd" / "face-0.png", encode_png(picture(0, 8)))


def stranger(home: Path) -> None:
    write_bytes(home / "made" / "face-9.png", encode_png(picture(9)))


def file_in_place(home: Path) -> None:
    write_bytes(home / "testsets" / "new", b"")


NAME = "can't be a folder's name"
NEW = "prepare celeba --source photos"
OPTION = ("Invalid value for",)
UNDIVIDED = ("choose a scale of at least 2 that divides the size",)

REFUSED = {
    "no such command": typed("reprot", "No such command 'reprot'", "Did you mean 'report'"),
    "no such command within": typed("weights gte lpips", "No such command 'gte'"),
    "no such option before a command": typed("--bug run", "No such option: --bug", "bench --help"),
    "no such option": typed("run --sete x", "No such option: --sete", "--set"),
    "an option of another command": typed("report --count 3", "No such option: --count"),
    "an argument too many": typed("verify tiny tiny", "unexpected extra argument", "bench verify"),
    "an argument too few": typed("prepare", "Missing argument", "bench prepare --help"),
    "an option without its value": typed("run --seed", "--seed", "requires an argument"),
    "a word for a number": typed(f"{NEW} --scale x4", "'--scale'", "valid integer"),
    "an unknown dataset": typed("prepare celebba", "'celebba'", "did you mean 'celeba'?"),
    "a dataset without its source": typed("prepare ffhq", "--source DIR", "Origin"),
    "scale 3": typed(f"{NEW} --scale 3", "Scale 3 does not divide 16 px", *UNDIVIDED),
    "scale 1": typed(f"{NEW} --scale 1", "Scale 1", *UNDIVIDED),
    "scale 0": typed(f"{NEW} --scale 0", "Scale 0", *UNDIVIDED),
    "a negative scale": typed(f"{NEW} --scale -4", "Scale -4", *UNDIVIDED),
    "a scale that leaves nothing": typed(f"{NEW} --scale 32", "Scale 32", *UNDIVIDED),
    "a scale for what has none": typed(
        f"{NEW} --degradation blind --scale 4", "--scale applies to bicubic only"
    ),
    "no size": typed(f"{NEW} --size 0", "0 px"),
    "a size beyond any photograph": failed(
        f"{NEW} --size 1000000000", "MiB are free", "free some space"
    ),
    "no images": typed(f"{NEW} --count 0", "--count is 0", "at least 1"),
    "a negative count": typed(f"{NEW} --count -5", "--count is -5", "at least 1"),
    "an unknown degradation": typed(
        f"{NEW} --degradation blur", "There is no degradation 'blur'", "choose bicubic or blind"
    ),
    "a name with a way out": typed(f"{NEW} --name ../x", "--name '../x'", NAME),
    "a name from the root": typed(f"{NEW} --name /x", "--name '/x'", NAME),
    "a name with Windows' separator": typed(f"{NEW} --name 'a\\b'", NAME),
    "the parent's name": typed(f"{NEW} --name ..", NAME),
    "no name": typed(f"{NEW} --name ''", NAME),
    "a hidden name": typed(f"{NEW} --name .x", NAME),
    "a name with a line break": typed(f"{NEW} --name 'a\nb'", NAME),
    "a name with NUL": typed(f"{NEW} --name 'a\0b'", NAME),
    "a name of 300 letters": typed(f"{NEW} --name {'x' * 300}", NAME),
    "one name for two": typed(f"{NEW} --scale 2 4 --name x", "--name names one test set"),
    "a test set of other settings": failed(
        f"{NEW} --scale 2 --name tiny", "tiny holds a test set made from other", "--name"
    ),
    "a file in the test set's place": failed(
        f"{NEW} --name new", "testsets/new", make=file_in_place
    ),
    "an unknown test set": typed("run --testset tny", "'tny'", "did you mean 'tiny'?"),
    "a test set elsewhere": typed("run --testset ../testsets/tiny", "There is no test set"),
    "an unknown method": typed("run bicubik", "'bicubik'", "did you mean 'bicubic'?"),
    "a method with a way out": typed("run ../baselines/bicubic", "There is no method"),
    "a method that is a module": typed("run os.path", "There is no method 'os.path'"),
    "a batch of none": typed("run --batch 0", *OPTION, "'--batch'", "bench run --help"),
    "repetitions of none": typed("run --repeat -1", *OPTION, "'--repeat'"),
    "a setting without a value": typed("run --set ddnm.steps", "METHOD.NAME=VALUE"),
    "a setting without a method": typed("run --set steps=3", "METHOD.NAME=VALUE"),
    "a setting of a wrong type": typed("run --set ddnm.steps=x", "is 'x'", "a whole number"),
    "weights without a kind": typed("run --weights x.pt", "KIND=FILE"),
    "weights of an unknown kind": typed("run --weights priro=x", "'priro'", "did you mean 'prior'"),
    "an unknown protocol": typed("run --protocol loose", *OPTION, "'strict', 'paper', 'both'"),
    "two formats at once": typed("report --latex --csv", "--latex and --csv exclude each other"),
    "a report of what did not run": failed("report ddnm", "no results of ddnm", "`bench run`"),
    "a strip without faces": typed("report --faces 0", *OPTION, "'--faces'"),
    "a strip in a folder's place": failed("report --strip photos", "photos can't be written"),
    "an unknown metric": typed(
        "evaluate --metric psrn", "'psrn'", "did you mean 'psnr' or 'psnr-y'?"
    ),
    "a sheet in a folder's place": failed("sheet photos", "photos can't be written"),
    "a sheet below a file": failed("sheet bench.toml/a.png", "bench.toml"),
    "what can't be verified": typed("verify nothing", "There is no test set 'nothing'"),
    "import: a method's name": typed("import bicubic made", "There is a method bicubic already"),
    "import: a way out": typed("import ../x made", "'../x' can't be a method's name", "letters"),
    "import: no folder": failed("import odd nothing", "nothing is not a folder", "give one"),
    "import: an empty folder": failed(
        "import odd odd", "odd holds no images", make=lambda home: (home / "odd").mkdir()
    ),
    "import: another size": failed(
        "import odd odd", "face-0 (8 x 8, not 16 x 16)", make=another_size
    ),
    "import: a stranger": failed("import odd made", "Not asked for: face-9.png", make=stranger),
    "new-method: a way out": typed("new-method ../x", "can't be a method's name", "letters"),
    "new-method: a word of Python": typed("new-method class", "can't be a method's name"),
    "new-method: a name that is taken": typed("new-method dpi", "There is a method dpi already"),
    "check-method: an odd size": typed("check-method bicubic --size 30", "Scale 4", "choose one"),
    "datasets add: a way out": typed("datasets add ../x photos", "'../x' can't be a recipe's name"),
    "datasets add: a name that is taken": typed("datasets add celeba photos", "choose another"),
    "datasets add: no folder": failed("datasets add odd nothing", "nothing does not exist"),
    "weights get: an unknown name": typed("weights get prior-265", "did you mean 'prior-256' or"),
    "weights get: a way out": typed("weights get ../x", "Unknown weights '../x'"),
    "weights add: no file": failed("weights add prior-256 x.pt", "There is no file x.pt"),
    "external setup: no program": typed("external setup dpi", "is not an external program"),
    "compare: no such run": failed("compare bicubic dppi", "no results of dppi", "`bench run`"),
    "compare: an archive that is not there": typed("compare bicubic x.tar", "x.tar"),
    "export: no archive's name": typed("export --out photos", "use photos.tar"),
    "export: what did not run": failed("export ddnm --out x.tar", "no results of ddnm"),
    "figure: another format": typed("figure grid --out x.docx", "x.docx", ".pdf"),
    "figure: no such face": typed(
        "figure grid --out x.png --image nobody", "no image 'nobody'", "the first is"
    ),
    "figure: no such part": typed("figure grid --out x.png --zoom 0,0", "--zoom"),
    "figure: a part outside of the face": typed("figure grid --out x.png --zoom 1,1,1", "--zoom"),
    "figure: of no width": typed("figure grid --out x.png --width 0", *OPTION, "'--width'"),
    "plan: an unknown method": typed("plan bicubik", "'bicubik'", "did you mean 'bicubic'?"),
    "sweep: no method": typed("sweep --grid", "method"),
    "sweep: an unknown setting": typed("sweep ddnm --step 1 2", "--step"),
    "sweep: a wrong value": typed("sweep ddnm --steps many", "many"),
    "sweep: nothing to change": typed("sweep bicubic --steps 1", "has no setting 'steps'"),
    "train: no images": failed("train prior --data x --out y", "x is neither a folder nor a zip"),
    "train: a size that does not fit": typed(
        "train prior --data photos --out y --size 9", "Size 9 does not fit", "a multiple of 8"
    ),
    "train: photographs that are too small": failed(
        "train prior --data photos --out y --size 32", "face-0.png is 16 x 16", "smaller size"
    ),
    "train: a scale that does not divide": typed(
        "train crt --data photos --out y --scale 7", "scale 7 is not a divisor of the size 64"
    ),
    "train: a rate below zero": typed(
        "train prior --data photos --out y --learning-rate -1", *OPTION, "'--learning-rate'"
    ),
    "train: no start": failed(
        "train prior --data photos --out y --size 16 --start-from x.pt", "no weights at x.pt"
    ),
}
