// The biases of a node in words of P, read at once.
module mep_biases #(
`include "mep_config.svh"
) (
    input  logic            clk,
    input  logic [SW-1:0]   address,
    output logic [P*BB-1:0] word,
    input  logic            write,
    input  logic [SW-1:0]   write_address,
    input  logic [P*BB-1:0] write_word
);
    logic [P*BB-1:0] memory[0:STATE_WORDS-1];
    initial $readmemh(BIASES_FILE, memory);
    always_ff @(posedge clk) if (write) memory[write_address] <= write_word;
    assign word = memory[address];
endmodule
