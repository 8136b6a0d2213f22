"""What an error means: its shape, its words, and the row of the table that they lead to (docs/failures.md).

shapes    a body of any kind -> Error: codes, types, messages, the status inside, hints
lexicon   the words of errors, and what each is about
topics    a code or a sentence -> what it is about
table     Error and status -> Kind: the rows, first match wins
"""

from oxllm.core.reading.shapes import Error as Error
from oxllm.core.reading.shapes import read as read
from oxllm.core.reading.table import Verdict as Verdict
from oxllm.core.reading.table import judge as judge
from oxllm.core.reading.table import named_status as named_status
