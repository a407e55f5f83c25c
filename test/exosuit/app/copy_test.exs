defmodule Exosuit.App.CopyTest do
  use Exosuit.HostCase, async: true

  alias Exosuit.App.Copy
  alias Exosuit.Directory

  test "a copy that cannot be written leaves no file behind" do
    dir = tmp_dir!()
    instance = Directory.fetch!(start_supervised_host!(), :instance)
    instance = put_in(instance.config.data_dir, dir)
    File.mkdir_p!(Path.join(dir, "applications.copy/a directory"))
    assert {:error, %Error{reason: :io}} = Copy.write(instance, %{})
    assert File.ls!(dir) == ["applications.copy"]
  end
end
