"""SQLAlchemy on psycopg: prints what it gets, to be compared."""

import os

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    books: Mapped[list["Book"]] = relationship(back_populates="author", order_by="Book.id")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")


# All else stands in the environment.
engine = sa.create_engine("postgresql+psycopg:///" + os.environ["WAYPOOL_TEST_DATABASE"], pool_size=3)
Base.metadata.drop_all(engine)
Base.metadata.create_all(engine)
print(sorted(sa.inspect(engine).get_table_names()))
print([column["name"] for column in sa.inspect(engine).get_columns("book")])

with Session(engine) as session:
    session.add_all([Author(name=f"author{n}", books=[Book(title=f"book{n}.{m}") for m in range(n)]) for n in range(5)])
    session.commit()
    rows = session.execute(
        sa.select(Author.name, sa.func.count(Book.id)).outerjoin(Book).group_by(Author.name).order_by(Author.name)
    )
    print(rows.all())
    author = session.scalars(sa.select(Author).where(Author.name == "author4")).one()
    print([book.title for book in author.books])
    author.name = "renamed"
    session.flush()
    print(session.scalar(sa.select(sa.func.count()).where(Author.name == "renamed")))
    session.rollback()
    print(author.name)
    try:
        with session.begin_nested():
            session.add(Author(name="author1"))
            session.flush()
    except sa.exc.IntegrityError as error:
        print(error.orig.sqlstate, error.orig.diag.constraint_name)
    print(session.scalar(sa.select(sa.func.count(Author.id))))
    session.commit()

with engine.connect() as connection:
    stream = connection.execution_options(stream_results=True, max_row_buffer=2)
    print([row.title for row in stream.execute(sa.select(Book.title).order_by(Book.id))])
with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
    print(connection.scalar(sa.text("SHOW transaction_isolation")))
with engine.connect() as connection:
    print(connection.scalar(sa.text("SHOW transaction_isolation")))
Base.metadata.drop_all(engine)
engine.dispose()
